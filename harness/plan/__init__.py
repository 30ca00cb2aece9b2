"""Suite -> trials with stable ids, each with the moment at which it is due. No clock is read here."""
