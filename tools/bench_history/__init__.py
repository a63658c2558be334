"""What reading costs when there is a long history of meetings in PostgreSQL."""
