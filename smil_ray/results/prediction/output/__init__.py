"""What a prediction leaves: tables, parameters, overlays and a page about them."""
