/*
description: The vendors of the meters compared, by what they record and by what they get wrong.
key: vendor_id
owner: data team
columns:
  trips: {min: 1}
  tip_percent: {description: "Tips over fares of trips paid by card, percent.", min: 0, max: 100}
  no_passengers_percent: {description: Trips without a usable number of passengers., min: 0, max: 100}
  no_distance_percent: {description: Trips of no miles., min: 0, max: 100}
  surcharge_twice_percent:
    {description: Trips whose `extra` held the congestion surcharge as well., min: 0, max: 100}
  half_day_trips: {description: Trips of twelve hours and more; a clock was wrong., min: 0}
*/
SELECT
    vendor_id,
    CASE vendor_id
        WHEN 1 THEN 'Creative Mobile Technologies'
        WHEN 2 THEN 'VeriFone'
        ELSE 'vendor ' || vendor_id
    END                                                         AS vendor,
    count(*)                                                    AS trips,
    round(avg(fare), 2)                                         AS mean_fare,
    round(100 * sum(tip) FILTER (payment_type = 1)
        / nullif(sum(fare) FILTER (payment_type = 1), 0), 1)    AS tip_percent,
    round(100 * count_if(passengers IS NULL) / count(*), 1)     AS no_passengers_percent,
    round(100 * count_if(distance = 0) / count(*), 1)           AS no_distance_percent,
    round(100 * count_if(surcharge_counted_twice) / count(*), 1) AS surcharge_twice_percent,
    count_if(minutes >= 12 * 60)                                AS half_day_trips
FROM staging.trips
GROUP BY vendor_id
