//! Any text as a Plan: never a panic; what is accepted survives its own wire form.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vouchsafe_model::plan::Plan;

fuzz_target!(|text: &str| {
    if let Ok(plan) = Plan::from_json(text) {
        if let Ok(json) = plan.to_json() {
            assert_eq!(Plan::from_json(&json).expect("own form is accepted"), plan);
        }
    }
});
