"""The report floor: a `Result` as a table in the terminal and as one HTML page. It reads, and computes nothing new."""
