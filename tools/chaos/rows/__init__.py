"""One module for each group of rows; `tools.chaos.table.load_rows` finds them."""
