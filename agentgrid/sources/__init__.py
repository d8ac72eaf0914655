"""Tools from elsewhere: what reaches their services, and what makes tools of their descriptions. Runs in activities and at registration."""
