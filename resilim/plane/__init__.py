"""The data plane: records, and the plain functions that a request passes through."""
