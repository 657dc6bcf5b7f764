/*
description: One row per day and payment type, for the finance report.
key: [day, payment_type]
owner: finance
tags: finance
columns:
  payment_type: {description: The name of the payment type., required: true}
  trips: {description: Metered trips that day., min: 1}
  fares: {description: "Fares, US dollars.", min: 0}
  tips: {description: "Tips paid by card, US dollars.", min: 0}
  revenue: {description: "Fares plus tips, US dollars.", min: 0}
rules:
  - {name: revenue_adds_up, check: revenue = fares + tips}
*/
SELECT
    day,
    CASE payment_type
        WHEN 1 THEN 'credit card'
        WHEN 2 THEN 'cash'
        WHEN 3 THEN 'no charge'
        WHEN 4 THEN 'dispute'
        ELSE 'other'
    END             AS payment_type,
    count(*)        AS trips,
    sum(fare)       AS fares,
    sum(tip)        AS tips,
    sum(fare + tip) AS revenue
FROM staging.trips
GROUP BY ALL
