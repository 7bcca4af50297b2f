"""The HTML page about a sweep: its sections, drawings and template."""
