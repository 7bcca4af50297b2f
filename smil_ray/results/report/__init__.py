"""The HTML pages about a sweep and about a run: their sections, drawings and templates."""
