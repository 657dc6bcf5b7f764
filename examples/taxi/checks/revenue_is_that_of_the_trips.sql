/*
description: The revenue of a day is that of its trips, to the cent.
owner: finance
tags: finance
*/
SELECT
    day,
    t.revenue AS of_the_trips,
    r.revenue AS of_the_report
FROM (SELECT day, sum(fare + tip) AS revenue FROM staging.trips GROUP BY day) t
FULL JOIN (SELECT day, sum(revenue) AS revenue FROM marts.daily_revenue GROUP BY day) r USING (day)
WHERE t.revenue IS DISTINCT FROM r.revenue
