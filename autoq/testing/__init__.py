"""Public conformance suites for adaptors and strategies, and a toy adaptor with a known answer."""
