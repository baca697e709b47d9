"""What is kept between runs in the user's cache: inversions, batch sizes, measured costs."""
