"""What Envoy's own unit tests and sources say, as cases; and their replay with the data plane.

`python -m tests.conformance FILE...` replays files of cases; `tests/facts/cases` has some.
"""
