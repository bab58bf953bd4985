SELECT COUNT(*), COALESCE(SUM(amount), 0.0) FROM orders WHERE customer = ? AND strftime('%Y', day) = ?;
