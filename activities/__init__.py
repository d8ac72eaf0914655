"""The reference tools, one file per external system; `activities.backoffice` is the database behind them."""
