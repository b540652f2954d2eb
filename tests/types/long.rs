//! Values of tens of megabytes.
