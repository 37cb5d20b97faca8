"""What must not hurt: bad files, odd names, damaged folders, as users meet them at the command line."""
