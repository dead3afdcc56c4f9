"""What measures accuracy and speed."""
