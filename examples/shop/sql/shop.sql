CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE orders (customer INTEGER NOT NULL REFERENCES customers, day TEXT NOT NULL, amount REAL NOT NULL);
INSERT INTO customers VALUES (1, 'Ada'), (2, 'Eve'), (3, 'Zoë');
INSERT INTO orders VALUES
  (1, '2026-01-05', 20.0), (1, '2026-11-24', 22.5), (2, '2026-03-01', 99.0), (2, '2025-03-01', 500.0), (1, '2025-12-31', 1.0);
