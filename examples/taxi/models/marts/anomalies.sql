/*
description: >-
  Trips that keep their contract and are still hard to believe, one row per trip and finding,
  with the place in the raw files where the trip stands.
key: [file_id, record, finding]
owner: data team
tags: quality
columns:
  finding:
    required: true
    accepted: [half a day, faster than 80 mph, tip above fare, fare without distance, tolls above 100]
  measure: {description: The number that is hard to believe., required: true}
*/
WITH findings AS (
    SELECT *, unnest([
        CASE WHEN minutes >= 12 * 60 THEN {finding: 'half a day', measure: minutes} END,
        CASE WHEN miles_per_hour > 80
            THEN {finding: 'faster than 80 mph', measure: miles_per_hour} END,
        CASE WHEN tip > fare AND tip > 20
            THEN {finding: 'tip above fare', measure: CAST(tip AS DOUBLE)} END,
        CASE WHEN distance = 0 AND fare > 100
            THEN {finding: 'fare without distance', measure: CAST(fare AS DOUBLE)} END,
        CASE WHEN tolls > 100
            THEN {finding: 'tolls above 100', measure: CAST(tolls AS DOUBLE)} END
    ]) AS found
    FROM staging.trips
)

SELECT
    found.finding,
    found.measure,
    day,
    vendor_id,
    minutes,
    distance,
    fare,
    tip,
    total,
    file_id,
    record
FROM findings
WHERE found IS NOT NULL
