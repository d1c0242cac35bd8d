"""How the example networks get their weights."""
