"""Numbers that others have measured or published, and what resilim says in their place.

`python -m tests.published --write docs/fidelity.md` runs everything and writes the tables.

* `cases/`: one table each, a row a number, with its source and how it is compared.
* `experiments/` and `models/`: what is simulated, with every assumption.
"""
