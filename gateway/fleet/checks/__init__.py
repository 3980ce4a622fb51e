"""What the doctor looks at, one file a subject: answers in, findings out. Pure."""
