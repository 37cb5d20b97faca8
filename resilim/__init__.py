"""resilim: what a failure does to your services, with and without a service mesh."""

__version__ = "0.1.0"
