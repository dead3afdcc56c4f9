"""Scripts that make and fetch data sets, and the sample set made by them."""
