mod cases;
mod random;
mod star;
