"""Stop scoring a candidate as soon as it is decided whether its loss is within the limit."""
