mod cases;
mod members;
mod random;
mod star;
