/** @file What every report must say about itself, whatever the run. */

export const SYNTHETIC_LIMIT =
  'The images are synthetic phantoms. The figures show that the software works from end to end; they say nothing about patients, hospitals or pneumonia.';

/** Limits of use that hold for each report. */
export const LIMITS: readonly string[] = [
  'For research use only. The model is not a medical device, is not cleared by any authority, and must not inform the care of a patient.',
  'The test images come from the same hospitals as the training images. How the model does at another hospital, on another machine, at another age of patient or in another year was not measured.',
  'The model chooses between two labels, NORMAL and PNEUMONIA, as the hospitals recorded them. The labels were not read again, and other findings were not looked for.',
  'Intervals show how far a figure could move with other patients from the same hospitals. They do not show how far it moves when the model is trained again from another seed: each row is one training.',
  'That two intervals overlap, or do not, is no test of whether two models differ.',
  'Predictive values and accuracy hold at the share of pneumonia in these images. Where pneumonia is rarer, more of the images called pneumonia are false alarms.',
  'Federated training moves model weights, counts and score histograms out of a hospital instead of images. Without differential privacy, weights can still reveal something about the images they were trained on.',
];
