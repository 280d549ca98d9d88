"""What makes and judges models; the trained ones lie here too."""
