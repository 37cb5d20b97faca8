"""The report floor: a `Result` as tables in the terminal and as one HTML page. It only reads."""
