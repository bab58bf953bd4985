SELECT id, name FROM customers ORDER BY id;
