"""The bus: one protocol, an embedded SQLite home and a Kafka home."""
