"""What nodes say of themselves (`registration`), what operators do with them and with pools."""
