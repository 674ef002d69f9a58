//! Lists of orders.
