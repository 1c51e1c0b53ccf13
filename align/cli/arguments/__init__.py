"""Arguments and help of every command; what a command does is beside this folder and is imported when it runs."""
