"""What is measured, and the rows that judge it."""
