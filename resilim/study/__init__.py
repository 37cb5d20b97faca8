"""The study floor: an experiment becomes runs, runs become a result."""
