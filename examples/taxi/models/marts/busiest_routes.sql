/*
description: The hundred pairs of known zones that are travelled most.
key: [pickup_zone, dropoff_zone]
owner: operations
columns:
  route: {description: "From and to, by name where the zone has one.", required: true}
  trips: {min: 1}
  median_minutes: {description: How long the trip usually takes., min: 0}
  median_fare: {description: US dollars., min: 0}
*/
SELECT
    trips.pickup_zone,
    trips.dropoff_zone,
    coalesce(here.name, 'zone ' || trips.pickup_zone) || ' to '
        || coalesce(there.name, 'zone ' || trips.dropoff_zone) AS route,
    count(*)                                            AS trips,
    round(median(trips.minutes), 1)                     AS median_minutes,
    round(median(trips.fare), 2)                        AS median_fare
FROM staging.trips AS trips
LEFT JOIN city.zones AS here ON here.zone = trips.pickup_zone
LEFT JOIN city.zones AS there ON there.zone = trips.dropoff_zone
WHERE trips.pickup_zone < 264 AND trips.dropoff_zone < 264   -- 264 and 265: unknown
GROUP BY ALL
ORDER BY trips DESC, trips.pickup_zone, trips.dropoff_zone
LIMIT 100
