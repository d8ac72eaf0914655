"""The reference tools, one file per outside system; `activities.backoffice` is the database behind them."""
