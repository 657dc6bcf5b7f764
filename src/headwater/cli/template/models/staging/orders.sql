/*
description: Orders that count, with their day.
*/
SELECT order_id, CAST(ordered_at AS DATE) AS day, customer, amount
FROM shop.orders
WHERE status <> 'returned'
