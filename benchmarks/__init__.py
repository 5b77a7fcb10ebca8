"""What Imagebatch costs beside what it could cost at least, and beside what a user would run instead."""
