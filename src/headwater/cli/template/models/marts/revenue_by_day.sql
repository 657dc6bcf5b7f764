/*
description: Revenue per day.
key: day
columns:
  revenue: {description: "Sum of the amounts, euros.", min: 0}
*/
SELECT day, count(*) AS orders, sum(amount) AS revenue
FROM staging.orders
GROUP BY day
