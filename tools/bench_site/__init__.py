"""The backend as it is, and beside it what it is measured against."""
