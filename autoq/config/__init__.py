"""The job file: a typed schema, a loader that keeps positions, and the JSON Schema for editors."""
