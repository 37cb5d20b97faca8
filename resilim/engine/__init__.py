"""The engines: `simulate(run)` gives a recording. The only floor that knows SimPy."""
