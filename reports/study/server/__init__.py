"""A small web server for raters: ``app`` answers, ``store`` keeps, ``limits`` slows down."""
