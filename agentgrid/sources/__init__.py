"""Tools from elsewhere: reaching their services, and turning service descriptions into tools. Runs in activities and at registration."""
