"""Card fraud: was a payment made by its cardholder, decided while they wait."""
