/*
description: >-
  Trips with their day, duration and speed, and with the congestion surcharge counted once.
owner: data team
columns:
  day: {description: The day of the pick-up.}
  minutes: {description: How long the meter ran., min: 0}
  miles_per_hour: {description: Distance over duration., min: 0}
  extra: {description: "Rush hour and overnight charges, without the congestion surcharge."}
  surcharge_counted_twice:
    description: Whether the vendor reported the congestion surcharge in `extra` as well.
  file_id: {description: "With `record`: where in which file the trip stands (headwater.files)."}
rules:
  - name: total_is_the_sum_of_its_parts
    description: To the cent. Some totals hold 1.95 more than their parts; nobody knows why.
    check: >-
      abs(fare + extra + mta_tax + tip + tolls + improvement_surcharge
      + coalesce(congestion_surcharge, 0) - total) < 0.01
    otherwise: warn
*/
WITH judged AS (
    SELECT
        *,
        -- The parts exceed the total by exactly the surcharge: it is in `extra` too.
        congestion_surcharge > 0
            AND fare + extra + mta_tax + tip + tolls + improvement_surcharge = total
            AS surcharge_counted_twice,
        date_diff('second', pickup_at, dropoff_at) AS seconds
    FROM tlc.trips
)

SELECT
    CAST(pickup_at AS DATE)                    AS day,
    vendor_id,
    pickup_at,
    dropoff_at,
    round(seconds / 60, 1)                     AS minutes,
    distance,
    round(distance / nullif(seconds, 0) * 3600, 1) AS miles_per_hour,
    passengers,
    rate_code,
    pickup_zone,
    dropoff_zone,
    payment_type,
    fare,
    extra - CASE WHEN surcharge_counted_twice THEN congestion_surcharge ELSE 0 END AS extra,
    mta_tax,
    tip,
    tolls,
    improvement_surcharge,
    congestion_surcharge,
    total,
    coalesce(surcharge_counted_twice, FALSE)   AS surcharge_counted_twice,
    _file_id                                   AS file_id,
    _record                                    AS record
FROM judged
